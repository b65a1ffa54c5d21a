"""Where the sample clips, the golden files and the tiny models are."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
TINY = GOLDEN / "tiny_24khz"
TINY_STEREO = GOLDEN / "tiny_48khz"
VOICE = ROOT / "samples" / "voice.wav"
MUSIC = ROOT / "samples" / "music.flac"
