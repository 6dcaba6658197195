"""Say where PHP (x86-64, not built for threads) keeps what names its frames: in bytes from the start of a struct.

PHP numbers the layouts of its structs: an extension that was compiled for another ZEND_MODULE_API_NO is not loaded. So
what holds for one build with a number holds for all. The tables come from the headers of Debian's builds.
"""

from __future__ import annotations

from typing import NamedTuple


class Layout(NamedTuple):
    """Hold the offsets of one version that differ from those of another one."""

    version: tuple[int, int]
    page_size: int  # zend_executor_globals.vm_stack_page_size, behind which is current_execute_data
    filename: int  # zend_op_array.filename, behind which are line_start and line_end


LAYOUTS = {
    20220829: Layout((8, 2), page_size=480, filename=152),
    20240924: Layout((8, 4), page_size=480, filename=168),
}
"""The layouts by ZEND_MODULE_API_NO."""
