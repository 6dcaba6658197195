"""The page: one HTML file that shows a report and filters it again, without a network and without this program.

`page` is what callers use. `data` turns a digest into the values that the page needs, `columns` packs what there is of
every call, `document` puts both into page.html, with page.css, the scripts (*.js) and the libraries in vendor/.
"""

from __future__ import annotations

from .document import page

__all__ = ["page"]
