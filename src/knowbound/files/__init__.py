"""Files that are never half-written, replaced unasked, or used by two runs at once."""

from knowbound.files.removing import remove_kept as remove_kept
from knowbound.files.replacing import cannot_write as cannot_write
from knowbound.files.replacing import check_writable as check_writable
from knowbound.files.replacing import replace_file as replace_file
from knowbound.files.replacing import sentence_for as sentence_for
