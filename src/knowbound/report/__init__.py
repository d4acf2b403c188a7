"""Result rows and evidence -> tables, pictures and one HTML file.  Nothing here knows torch."""

from knowbound.report.figure import embedding_figure, figure_page
from knowbound.report.page import write_page
from knowbound.report.summary import confusion_lines, examples, summary, told_apart
from knowbound.report.table import markdown_table, terminal_table
from knowbound.report.what_if import cost_sentence

__all__ = [
    "confusion_lines",
    "cost_sentence",
    "embedding_figure",
    "examples",
    "figure_page",
    "markdown_table",
    "summary",
    "terminal_table",
    "told_apart",
    "write_page",
]
