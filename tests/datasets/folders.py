"""Small hand-written data folders."""

import gzip
from pathlib import Path

ITEMS = """item_id,title,genres,description,price,created_at
007,Goldfinger,Spies|Gold,"A villain, a vault, and ""Pussy"" Galore.",9.99,1964-09-17
1,"Matrix, The (1999)",Sci-Fi,Is this real?,,
x,::,,,3,2000-01-01T00:00:00+02:00
"""
LOG = """user_id,item_id,timestamp,feedback,value
b,007,20,like,4.5
a,x,10,click,
b,1,20,,
"""


def write(folder: Path, **files: str | bytes) -> Path:
    """Write files, ``items_csv="..."`` as items.csv, gzipped where the name ends in _gz; return the folder."""
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        path = folder / name.replace("_", ".")
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" and isinstance(content, str) else data)
    return folder
