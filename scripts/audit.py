"""Looks the locked packages up in the Python advisory database, and says so aloud when that cannot be done."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parents[1] / "requirements.lock"
OFFLINE = ("ConnectionError", "Connection refused", "ServiceError", "timed out")


def main() -> int:
    """1 when a package has a known vulnerability; 0 when none has, or when the database cannot be reached."""
    tool = [sys.executable, "-m", "pip_audit", "--require-hashes", "--disable-pip", "--progress-spinner=off"]
    command = [*tool, "--format=json", f"--requirement={LOCK}"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (all of it is our own)
    try:
        packages = json.loads(run.stdout)["dependencies"]
    except (ValueError, KeyError):
        return _without_answer(run.stderr)
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    if skipped:
        _warn(f"{len(skipped)} of {len(packages)} packages (for instance {skipped[0]}) are unknown to it")
    return _report([package for package in packages if package.get("vulns")])


def _report(vulnerable: list[dict[str, Any]]) -> int:
    for package in vulnerable:
        for found in package["vulns"]:
            mended = ", ".join(found["fix_versions"]) or "no release yet"
            sys.stdout.write(f"{package['name']} {package['version']}: {found['id']}, mended in {mended}\n")
    return 1 if vulnerable else 0


def _without_answer(complaint: str) -> int:
    if not any(word in complaint for word in OFFLINE):
        sys.stderr.write(complaint)
        return 1
    _warn("it cannot be reached")
    return 0


def _warn(why: str) -> None:
    sys.stderr.write(f"audit: NOT AUDITED against the advisory database: {why}.\n")


if __name__ == "__main__":
    sys.exit(main())
