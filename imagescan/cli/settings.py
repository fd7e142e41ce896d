"""From the words given, the environment and the configuration file to one frozen ``Settings``.

Option > environment > file > default. Nothing wrong is passed over: an unknown key or a word that
is not allowed is an error that names its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagescan.cli.options import FORMATS, OPTIONS, Kind, Option
from imagescan.cli.suggestion import suggestion
from imagescan.cli.words import read_variables, read_words
from imagescan.dataclasses import dataclass, fields
from imagescan.errors import UsageError

if TYPE_CHECKING:
    from imagescan.rules.waivers import Waiver

CONFIGURATION_FILE = ".imagescan.yaml"
MAXIMUM_CONFIGURATION = 1 << 20  # bytes; a larger file is not a configuration
WAIVERS = "waivers"  # the one key of the file that is no option
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")

Value = str | bool | tuple[str, ...] | tuple["Waiver", ...]


@dataclass(frozen=True, slots=True)
class Output:
    """One report to write: ``file`` None is standard output."""

    format: str
    file: Path | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Every wish of the user, decided. ``fail_on`` is a severity or ``never``."""

    platform: str | None = None
    outputs: tuple[Output, ...] = (Output("table"),)
    fail_on: str = "error"
    allow_incomplete: bool = False
    baseline: Path | None = None
    show_waived: bool = False
    waivers: tuple[Waiver, ...] = ()
    rules: tuple[Path, ...] = ()
    cpu: str | None = None
    kernel: str | None = None
    page_size: str | None = None
    add: tuple[str, ...] = ()
    rebase: str | None = None
    base: str | None = None
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    env: tuple[str, ...] = ()
    user: str | None = None
    workdir: str | None = None
    insecure: bool = False
    closure: bool = False
    trail: bool = False
    into: Path | None = None
    cache_dir: Path | None = None
    no_cache: bool = False
    cache_size: str = ""
    cache_days: str = ""
    quiet: bool = False
    verbose: bool = False
    no_progress: bool = False


def settle(given: Mapping[str, Any], environment: Mapping[str, str], directory: Path) -> Settings:
    """Decide every setting. ``given`` are the options of the command line by key, None where absent.

    Raises:
        UsageError: a value that is not allowed, or a configuration file that is wrong.
    """
    from_command_line = _from_command_line(given)
    from_environment = _from_environment(environment)
    named = from_command_line.get("config", from_environment.get("config"))
    if isinstance(named, str):
        from_file = read_file(directory / named)
    elif (directory / CONFIGURATION_FILE).exists():
        from_file = read_file(directory / CONFIGURATION_FILE)
    else:
        from_file = {}
    _check_choices(from_environment, lambda option: option.variable)
    _check_choices(from_command_line, lambda option: f"--{option.name}")
    merged = _merged(from_file, from_environment, from_command_line)
    merged.pop("config", None)
    if "output" in merged:
        from_variable = "output" in from_environment and "output" not in from_command_line
        where = "IMAGESCAN_OUTPUT" if from_variable else "--output"
        merged["outputs"] = _outputs(merged.pop("output"), directory, where)
    for option in OPTIONS:
        if option.is_path and option.key in merged:
            value = merged[option.key]
            paths = tuple(directory / path for path in ((value,) if isinstance(value, str) else value))
            merged[option.key] = paths if option.kind is Kind.LIST else paths[0]
    names = {field.name for field in fields(Settings)}
    return Settings(**{key: value for key, value in merged.items() if key in names})


def _merged(*layers: Mapping[str, Value]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for layer in layers:
        if layer.get("quiet") and layer.get("verbose"):
            raise UsageError("quiet and verbose exclude each other", advice="say one of -q and -v")
        if layer.get("quiet") or layer.get("verbose"):  # either overrides the other from below
            merged.update(quiet=False, verbose=False)
        merged.update(layer)
    return merged


def _from_command_line(given: Mapping[str, Any]) -> dict[str, Value]:
    values: dict[str, Value] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in given.items()
        if value is not None
    }
    for option in OPTIONS:
        value = values.get(option.key)
        if option.kind is Kind.WORDS and isinstance(value, str):
            values[option.key] = read_words(value, f"--{option.name}")
        elif option.kind is Kind.VARIABLES and option.key in values:
            values[option.key] = read_variables(given[option.key], f"--{option.name}")
    return values


def _from_environment(environment: Mapping[str, str]) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for option in OPTIONS:
        text = environment.get(option.variable)
        if text is None or (text == "" and option.kind is not Kind.SWITCH):
            continue
        if option.kind is Kind.SWITCH:
            values[option.key] = _switch(text, option.variable)
        elif option.kind is Kind.WORDS:
            values[option.key] = read_words(text, option.variable)
        elif option.kind is Kind.VARIABLES:
            values[option.key] = read_variables(read_words(text, option.variable), option.variable)
        elif option.kind is Kind.LIST:
            values[option.key] = tuple(part.strip() for part in text.split(",") if part.strip())
        else:
            values[option.key] = text
    return values


def _switch(text: str, where: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise UsageError(f"neither true nor false: {text!r}", where=where, advice="say 1 or 0")


def read_file(file: Path) -> dict[str, Value]:
    """The settings of a configuration file, by key. Relative paths in it are relative to it.

    Raises:
        UsageError: the file cannot be read or is no YAML mapping; a key is unknown or stands
            twice; a value is of the wrong kind. The message has the line and column.
    """
    root = _compose(file)
    values: dict[str, Value] = {}
    known = {option.name: option for option in OPTIONS if option.in_file}
    for key_node, value_node in root.value if root else ():
        name = str(key_node.value)
        key = known[name].key if name in known else name
        if key in values:
            raise UsageError(f"{name} stands twice", where=position(file, key_node))
        if name in known:
            values[key] = _file_value(known[name], value_node, file)
        elif name == WAIVERS:
            from imagescan.cli.waiver_entries import read_waivers

            values[key] = read_waivers(value_node, file)
        else:
            words = (*known, WAIVERS)
            advice = suggestion(name, words, f"known are {', '.join(words)}")
            raise UsageError(f"unknown setting {name[:60]!r}", where=position(file, key_node), advice=advice)
    return values


def _compose(file: Path) -> Any:  # noqa: ANN401 - yaml.MappingNode, None for an empty file
    import yaml

    try:
        content = file.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"cannot read the configuration: {reason}", where=str(file)) from error
    if len(content) > MAXIMUM_CONFIGURATION:
        raise UsageError(f"larger than {MAXIMUM_CONFIGURATION} bytes", where=str(file))
    try:
        root = yaml.compose(content, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise _not_yaml(error, file) from error
    if root is not None and not isinstance(root, yaml.MappingNode):
        raise UsageError("not a mapping of settings", where=position(file, root))
    return root


def _file_value(option: Option, node: Any, file: Path) -> Value:  # noqa: ANN401 - yaml.Node
    import yaml

    where = position(file, node)
    if option.kind in (Kind.WORDS, Kind.VARIABLES):
        return _file_words(option, node, where)
    if option.kind is Kind.LIST:
        items = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if not all(isinstance(item, yaml.ScalarNode) for item in items):
            raise UsageError(f"{option.name} is a list of words", where=where)
        texts = tuple(str(item.value) for item in items)
        return tuple(str(file.parent / text) for text in texts) if option.is_path else texts
    if not isinstance(node, yaml.ScalarNode):
        raise UsageError(f"{option.name} is one word", where=where)
    if option.kind is Kind.SWITCH:
        return _switch(str(node.value), where)
    if option.choices and node.value not in option.choices:
        raise _not_allowed(option, str(node.value), where)
    return str(file.parent / node.value) if option.is_path else str(node.value)


def _file_words(option: Option, node: Any, where: str) -> Value:  # noqa: ANN401 - yaml.Node
    """A command line as a list or one text; variables as a list of NAME=value or a mapping."""
    import yaml

    variables = option.kind is Kind.VARIABLES
    if isinstance(node, yaml.ScalarNode):
        words = read_words(str(node.value), where)
    elif isinstance(node, yaml.SequenceNode) and _all_scalar(node.value):
        words = tuple(str(item.value) for item in node.value)
    elif variables and isinstance(node, yaml.MappingNode) and _all_scalar(sum(node.value, ())):
        words = tuple(f"{name.value}={value.value}" for name, value in node.value)
    else:
        raise UsageError(f"{option.name} is a list of words", where=where)
    return read_variables(words, where) if variables else words


def _all_scalar(nodes: Any) -> bool:  # noqa: ANN401 - a sequence of yaml.Node
    import yaml

    return all(isinstance(node, yaml.ScalarNode) for node in nodes)


def position(file: Path, node: Any) -> str:  # noqa: ANN401 - yaml.Node
    """``file:line:column`` of a YAML node, as editors count."""
    return f"{file}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"


def _not_yaml(error: Exception, file: Path) -> UsageError:
    mark = getattr(error, "problem_mark", None)
    where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else str(file)
    problem = getattr(error, "problem", None) or "cannot be understood"
    return UsageError(f"not YAML: {problem}", where=where)


def _check_choices(values: Mapping[str, Any], where: Callable[[Option], str]) -> None:
    for option in OPTIONS:
        value = values.get(option.key)
        if option.choices and value is not None and value not in option.choices:
            raise _not_allowed(option, str(value), where(option))


def _not_allowed(option: Option, value: str, where: str) -> UsageError:
    otherwise = f"say one of {', '.join(option.choices)}"
    advice = suggestion(value, option.choices, otherwise)
    return UsageError(f"no such {option.name}: {value!r}", where=where, advice=advice)


def _outputs(wishes: tuple[str, ...], directory: Path, where: str) -> tuple[Output, ...]:
    outputs = []
    for wish in wishes:
        name, equals, file = wish.partition("=")
        if name not in FORMATS:
            advice = suggestion(name, FORMATS, f"say one of {', '.join(FORMATS)}")
            raise UsageError(f"no such format: {name!r}", where=where, advice=advice)
        if equals and not file:
            raise UsageError("no file named after the =", where=f"{where} {wish}")
        path = directory / file if file not in ("", "-") else None
        if path is not None and not path.parent.is_dir():
            raise UsageError("no such directory", where=str(path.parent), advice="make it first")
        outputs.append(Output(name, path))
    to_terminal = sum(output.file is None for output in outputs)
    if to_terminal > 1:
        raise UsageError(
            "two formats cannot both go to standard output", where=where, advice="say FORMAT=FILE"
        )
    return tuple(outputs)
