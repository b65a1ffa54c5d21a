"""What several tests share: peers, the command server, small models and trainings."""
