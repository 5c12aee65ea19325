"""Write the files of a report: report.json, report.md and the plots."""

from pathlib import Path

from emo_bench.report.markdown import to_markdown
from emo_bench.report.plots import draw
from emo_bench.report.schema import Report, encode_report


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write all files and return their paths. Raises OSError."""
    data, page = folder / "report.json", folder / "report.md"
    data.write_bytes(encode_report(report))
    page.write_text(to_markdown(report), encoding="utf-8")
    return [data, page, *draw(report, folder)]
