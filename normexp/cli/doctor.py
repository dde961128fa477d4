"""Examining the installation: `doctor`."""

from pathlib import Path

from normexp.cli.app import AsJson, Debug, StoreDir, app, print_json, reporting


@app.command()
def doctor(
    directory: StoreDir = Path("runs"),
    as_json: AsJson = False,  # noqa: FBT002
    debug: Debug = False,  # noqa: FBT002
) -> None:
    """Check that this installation keeps its promises, and say what it is.

    Trains a tiny study in temporary directories; nothing of yours is touched. Ends with exit code 4
    if a check failed.

    \b
    Example:
      normexp doctor
      normexp doctor --dir /data/runs --json
    """  # noqa: D301  \b keeps the lines of the example apart
    with reporting(debug=debug):
        from normexp.errors import VerificationError
        from normexp.trust.doctor import examine, report

        if as_json:
            checks = list(examine(directory))
            print_json(report(checks))
        else:
            from normexp.console.doctor import print_check, print_environment
            from normexp.sweeps.environment import environment

            print_environment(environment())
            checks = []
            for check in examine(directory):
                print_check(check)
                checks.append(check)
        failed = [check.name for check in checks if not check.ok]
        if failed:
            raise VerificationError(
                f"{len(failed)} of {len(checks)} checks failed: {', '.join(failed)}",
                "what to do stands beside each",
            )
