"""A crawl's memory limit, by the memory that it holds now.

Scrapy goes by the peak, which a process inherits from the one that started it: a crawl that a large program starts, such as
one with torch in it, would be over the limit before its first request.
"""

from __future__ import annotations

import os
from pathlib import Path

from scrapy.extensions.memusage import MemoryUsage

_STATM = Path("/proc/self/statm")


class Memory(MemoryUsage):
    """Ends a crawl whose resident memory is over MEMUSAGE_LIMIT_MB; where the system does not tell it, goes by the peak."""

    def get_virtual_size(self) -> int:
        """Bytes resident now."""
        try:
            return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:
            return super().get_virtual_size()
