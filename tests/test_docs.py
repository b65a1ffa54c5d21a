"""What the documents say is so: commands parse, examples run, files and functions exist, links lead somewhere."""

import ast
import inspect
import re
import shlex
import shutil
from pathlib import Path

import click
import pytest
import soundfile
from conftest import ROOT, VOICE

from ecdc.cli.main import main

README = (ROOT / "README.md").read_text()
MODELS = (ROOT / "docs" / "MODELS.md").read_text()
STREAMS = (ROOT / "docs" / "STREAMS.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
API = (ROOT / "docs" / "API.md").read_text()


def all_commands(group: click.Group = main) -> list[click.Command]:
    return [
        each
        for command in group.commands.values()
        for each in (command, *(all_commands(command) if isinstance(command, click.Group) else ()))
    ]


def commands() -> list[list[str]]:
    """Arguments of every `ecdc` in the shell blocks of README and docs, and in the commands' own help."""
    text = "\n".join(re.findall(r"```\n(.*?)```", README + MODELS + STREAMS, re.S)) + "".join(
        c.help for c in all_commands()
    )
    found = []
    for line in text.splitlines():
        for part in line.split("|"):
            if re.match(r"\s*(bin/)?ecdc ", part):
                words = shlex.split(part, comments=True)
                words = words[: min((words.index(sign) for sign in "<>" if sign in words), default=None)]
                found.append(words[1:])
    return found


@pytest.mark.parametrize("arguments", commands(), ids=" ".join)
def test_examples_parse(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "compressed").mkdir()
    for name in ("encodec_24khz-d7cc33bc.th", "encodec_lm_24khz-1608e3c0.th", "recording.flac", "my-finetuned-encodec"):
        (tmp_path / name).touch()
    command, rest = main, arguments
    while isinstance(command, click.Group):
        name, *rest = rest
        command = command.commands[name]
    context = command.make_context(name, list(rest), parent=click.Context(main))
    assert set(context.params) == {parameter.name for parameter in command.params}


def test_training_examples_parse(tmp_path, monkeypatch):
    from training.cli import main as train
    from training.evaluation.evaluate import main as evaluate

    monkeypatch.chdir(tmp_path)
    for folder in ("recordings", "corpus/24k", "corpus/heldout", "my"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "my" / "config.json").touch()
    text = (ROOT / "docs" / "TRAINING.md").read_text()
    lines = [shlex.split(line) for line in text.splitlines() if line.startswith(("bin/train ", "bin/evaluate "))]
    assert {words[1] for words in lines if words[0] == "bin/train"} == set(train.commands)
    for program, name, *rest in lines:
        command, arguments = (evaluate, [name, *rest]) if program == "bin/evaluate" else (train.commands[name], rest)
        assert command.make_context(name, arguments).params


def test_there_are_examples():
    names = {arguments[0] for arguments in commands()}
    assert names == set(main.commands) and len(commands()) > 12


def test_first_block_is_the_two_commands():
    first = re.search(r"```\n(.*?)```", README, re.S)[1].splitlines()
    assert [line.split()[0] for line in first] == ["bin/ecdc", "bin/test"]
    for line in first:
        assert (ROOT / line.split()[0]).stat().st_mode & 0o111
    assert (ROOT / first[0].split()[2]).exists()


def test_every_public_name_is_documented():
    import ecdc

    for name in ecdc.__all__:
        assert getattr(ecdc, name).__doc__
    for command in all_commands():
        assert command.help and all(option.help for option in command.params if isinstance(option, click.Option))


def run_examples(file: str) -> dict:
    """Run the Python blocks of a document one after another; the names that they leave behind."""
    text = (ROOT / file).read_text()
    names: dict = {}
    for block in re.finditer(r"```python\n(.*?)```", text, re.S):
        # An error then shows its line in the document.
        lines = text.count("\n", 0, block.start(1))
        exec(compile("\n" * lines + block[1], ROOT / file, "exec"), names)
    assert names, file
    return names


@pytest.mark.parametrize("file", ["README.md", "docs/API.md"])
def test_python_examples_run(file, tmp_path, monkeypatch):
    import ecdc

    monkeypatch.chdir(tmp_path)
    shutil.copy(VOICE, "voice.wav")
    data, rate = soundfile.read(VOICE, frames=48000)
    ecdc.write("song.ecdc", data, rate, lm=False)
    run_examples(file)


def test_transformers_example_runs(tmp_path, monkeypatch):
    """With random weights where the hub's cache would have the official ones."""
    from support.checkpoints import OFFICIAL, transformers_checkpoint

    snapshot = tmp_path / "models--facebook--encodec_24khz" / "snapshots" / "0"
    transformers_checkpoint(OFFICIAL["encodec_24khz"]).save_pretrained(snapshot)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    names = run_examples("docs/MODELS.md")
    assert names["encoded"][0].frames.tolist() == [94, 63] and names["decoded"].shape == (2, 1, 30000)


def defined(path: Path) -> set[str]:
    """Names of functions and classes in a file, and of methods as `Class.method`."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{each.name}" for each in node.body if isinstance(each, ast.FunctionDef)}
    return names


def decisions() -> list[list[str]]:
    """The rows of "Where is … decided?": what, file, function or class."""
    section = re.search(r"^## Where is … decided\?$(.*?)^## ", ARCHITECTURE, re.M | re.S)[1]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return rows[2:]


@pytest.mark.parametrize("row", decisions(), ids=lambda row: row[0])
def test_where_things_are_decided(row):
    """Every answer names a function or a class that is in its file."""
    _, file, name = row
    assert name.strip("`") in defined(ROOT / file.strip("`"))


@pytest.mark.parametrize(
    "question",
    [
        "bandwidth → codebooks",
        "packet length",
        "key packets",
        "gains of envelopes",
        "model search",
        "overwrite rule",
        "resampling",
        "probabilities",
        "CRC",
    ],
)
def test_what_is_decided_somewhere(question):
    assert any(what.startswith(question) for what, _, _ in decisions())


def test_files_that_the_architecture_names_exist():
    drawn = re.search(r"```mermaid\n(.*?)```", ARCHITECTURE, re.S)[1]
    files = {f"ecdc/{file}" for file in re.findall(r"\w+/\w+\.py", drawn)}
    assert len(files) > 12
    for file in files | set(re.findall(r"`((?:ecdc|training|tests)/[\w/]+\.py)`", ARCHITECTURE)):
        assert (ROOT / file).is_file(), file


DOCUMENTS = sorted((ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "models").glob("*.md")))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_documents_are_narrow(path):
    """Prose of at most 100 columns; tables, code, targets of links, and addresses may be wider."""
    prose = re.sub(r"^```.*?^```$", lambda code: "\n" * code[0].count("\n"), path.read_text(), flags=re.M | re.S)
    for number, line in enumerate(prose.splitlines(), 1):
        shown = re.sub(r"https?://\S+", "", re.sub(r"\]\([^)]*\)", "]", line))
        assert len(shown) <= 100 or line.lstrip().startswith("|"), f"line {number}"


def test_documents_are_short():
    assert len(README.splitlines()) <= 140
    for card in ("ecdc_24khz", "ecdc_48khz"):
        assert len((ROOT / "docs" / "models" / f"{card}.md").read_text().splitlines()) <= 120


def test_links_lead_somewhere():
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", path.read_text()):
            assert (path.parent / target).exists(), (path.name, target)


def api_sections() -> dict[str, str]:
    """Headings of API.md that are names, and the text below each."""
    parts = re.split(r"^#+ (.+)$", API, flags=re.M)
    return {heading[6:-1]: text for heading, text in zip(parts[1::2], parts[2::2]) if heading.startswith("`ecdc.")}


def test_every_public_name_has_a_section_in_the_api():
    import ecdc

    assert set(api_sections()) == set(ecdc.__all__)


def test_api_names_every_argument_and_field():
    import ecdc

    for name, text in api_sections().items():
        if not name.endswith("Error"):
            for argument in inspect.signature(getattr(ecdc, name)).parameters:
                assert f"`{argument}`" in text, (name, argument)


def test_api_signatures_have_the_defaults():
    """The block below a heading calls the name with its arguments as they are without being given."""
    import ecdc

    for name, text in api_sections().items():
        shown = re.search(rf"ecdc\.{name}\((.*?)\)\n```", text, re.S)
        if shown is None:
            assert name.endswith(("Error", "Info"))
            continue
        call = ast.parse(f"f({shown[1].replace('*, ', '')})").body[0].value
        given = {each.arg: ast.unparse(each.value) for each in call.keywords}
        parameters = inspect.signature(getattr(ecdc, name)).parameters.values()
        assert [each.id for each in call.args] + list(given) == [each.name for each in parameters]
        for each in parameters:
            if each.name in given:
                assert eval(given[each.name], {"ecdc": ecdc}) == each.default, (name, each.name)
