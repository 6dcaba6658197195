"""Make the page: one HTML file that shows a report and filters it again, without a network and without this program.

Callers use `report` and, for --baseline, `comparison`. `data` turns an aggregate into the values that the page
needs, `columns` packs the columns of calls, `trees` has the trees of calls, and `comparison` turns a comparison into
values. `document` puts them into page.html or comparison.html, in shell.html, with page.css, the scripts (*.js) and the
libraries in vendor/.
"""

from __future__ import annotations

from .document import comparison, report

__all__ = ["comparison", "report"]
