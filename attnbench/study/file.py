"""A study's TOML file: finding it, reading it, and holding its keys and types to the schema.

    name, title, hosts, sizes, batch, targets     what the study is about
    [settings]                                    the fields of ``records.Settings``
    [[matrix]]  modules, places, settings         every module at every place; "each" is every site, "all" every module
    [[case]]    variant, host, sizes, settings    one variant
                priority, place, module, stage    where it stands in the report's tables, and under which words
                claim                             a table, or a list of tables, {metric, value, unit, source,
                                                  relation, tolerance, text}: what is said of it and will be judged

Every mistake is one line that names the file and the key.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attnbench.core.errors import InputError, UnknownName

COUNTS = ("params", "params_delta", "macs", "macs_delta", "flops")
"""What a claim with a unit may be about; everything else has its unit in its name."""

CLAIM_METRICS = (
    *COUNTS,
    "overhead_pct",
    "overhead_ms",
    "macs_delta_pct",
    "params_delta_pct",
    "activation_peak_bytes",
    "largest_activation_bytes",
    "npu_verdict",
)
RELATIONS = ("about", "below", "rounds to")
UNITS = ("1", "M", "G", "Mi", "Gi")

_NUMBER = re.compile(r"-?\d+(\.\d+)?(e-?\d+)?", re.IGNORECASE)
_STUDY_KEYS: dict[str, tuple[type, ...]] = {
    "name": (str,), "title": (str,), "hosts": (list,), "sizes": (list,), "batch": (int,), "targets": (list,),
    "settings": (dict,), "matrix": (list,), "case": (list,),
}  # fmt: skip
HOST_KEYS: dict[str, tuple[type, ...]] = {"spec": (str,), "sites": (dict,), "input_channels": (int,)}
_MATRIX_KEYS: dict[str, tuple[type, ...]] = {"modules": (list, str), "places": (list, str), "settings": (dict,)}
_CASE_KEYS: dict[str, tuple[type, ...]] = {
    "variant": (str,), "settings": (dict,), "priority": (int,), "place": (str,), "module": (str,), "stage": (str,),
    "claim": (dict, list), "sizes": (list,), "host": (str,),
}  # fmt: skip
_CLAIM_KEYS: dict[str, tuple[type, ...]] = {
    "metric": (str,), "value": (int, float, str), "source": (str,), "relation": (str,), "tolerance": (int, float),
    "text": (str,), "unit": (str,),
}  # fmt: skip


def packaged_study(name: str = "report") -> Path:
    """The path of a study that comes with the package: beside it once installed, in ``benchmarks/`` in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "studies" / f"{name}.toml"
    return installed if installed.exists() else package.parent / "benchmarks" / f"{name}.toml"


def find_study(name: str) -> Path:
    """The file of a study: a path, or the name of a packaged one."""
    path = Path(name)
    if path.suffix == ".toml" or path.exists():
        return path
    packaged = packaged_study(name)
    if not packaged.exists():
        known = [file.stem for file in packaged.parent.glob("*.toml")]
        raise UnknownName("study", name, known, "your own: path/to/study.toml")
    return packaged


def read_study(path: Path) -> dict[str, Any]:
    """A study file's content, its keys and types held to the schema."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"study: there is no file {path}") from error
    except IsADirectoryError as error:
        raise InputError(f"study: {path} is a folder, not a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"study {path}: not valid TOML: {error}") from error
    hold(data, _STUDY_KEYS, f"study {path}")
    data.setdefault("name", path.stem)
    for index, table in enumerate(data.get("matrix", [])):
        hold(table, _MATRIX_KEYS, f"study {path}: [[matrix]] {index + 1}")
    for index, table in enumerate(data.get("case", [])):
        where = f"study {path}: [[case]] {index + 1}"
        hold(table, _CASE_KEYS, where)
        if "variant" not in table:
            raise InputError(f"{where} lacks the key 'variant'")
        for claim in claims_of(table):
            _hold_claim(claim, where)
    return data


def claims_of(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The claims of a case: one table, a list of them, or none."""
    claims = table.get("claim", [])
    return [claims] if isinstance(claims, dict) else claims


def _hold_claim(claim: Any, where: str) -> None:
    if not isinstance(claim, dict):
        raise InputError(f'{where}: claim must be a table like {{metric = "overhead_pct", value = 3, source = "..."}}')
    hold(claim, _CLAIM_KEYS, f"{where}: claim")
    missing = {"metric", "value", "source"} - set(claim)
    if missing:
        raise InputError(f"{where}: claim lacks {', '.join(sorted(missing))}")
    if claim["metric"] not in CLAIM_METRICS:
        raise UnknownName(f"metric in {where}: claim", claim["metric"], CLAIM_METRICS)
    if claim.get("relation", "about") not in RELATIONS:
        raise UnknownName(f"relation in {where}: claim", claim["relation"], RELATIONS)
    if claim.get("unit", "1") not in UNITS or ("unit" in claim and claim["metric"] not in COUNTS):
        raise InputError(f"{where}: claim: unit is one of {', '.join(UNITS)}, of {', '.join(COUNTS)}, not '{claim['unit']}'")
    if claim["metric"] != "npu_verdict" and not _NUMBER.fullmatch(str(claim["value"])):
        raise InputError(f"{where}: claim: value of {claim['metric']} must be a number, not '{claim['value']}'")


def hold(table: Any, keys: Mapping[str, tuple[type, ...]], where: str) -> None:
    """Raise ``InputError`` for a key that the schema does not have, or a value of another type."""
    if not isinstance(table, dict):
        raise InputError(f"{where} must be a table, not {type(table).__name__}")
    for key, value in table.items():
        if key not in keys:
            raise UnknownName(f"key in {where}", key, keys)
        if not isinstance(value, keys[key]) or (isinstance(value, bool) and bool not in keys[key]):
            wanted = " or ".join(kind.__name__ for kind in keys[key])
            raise InputError(f"{where}: key '{key}' must be {wanted}, not {type(value).__name__} ({value!r})")
