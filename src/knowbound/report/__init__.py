"""Result rows and evidence -> tables, pictures and one HTML file.  Nothing here knows torch."""

from knowbound.report.page import write_page
from knowbound.report.table import markdown_table, terminal_table

__all__ = ["markdown_table", "terminal_table", "write_page"]
