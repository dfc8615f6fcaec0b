"""UCI's Online Retail (Chen, Sain and Guo 2012): one file of invoice lines, from which come items and purchases.

Kept are lines with a customer, a positive quantity and price, and a stock code of a product (five digits, perhaps with
letters after them; POST, M, BANK CHARGES and the like are none). An item's text is the description that most of its
lines have.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from zsr_sim.datasets.assemble import LogColumns, assemble
from zsr_sim.datasets.columns import column, numbers
from zsr_sim.datasets.dataset import Dataset, Layout
from zsr_sim.datasets.files import find_one, shown
from zsr_sim.datasets.tables import Table, read_table
from zsr_sim.errors import InputError

FILES = ("online_retail.csv", "OnlineRetail.csv", "Online Retail.csv")
PRODUCT = r"\d{5}[A-Za-z]*"
_AMERICAN = "%m/%d/%Y %H:%M"  # how the spreadsheet is exported; another copy has ISO 8601


def _read(folder: Path, text_columns: tuple[str, ...] | None) -> Dataset:
    path = find_one(folder, FILES)
    if path is None:
        raise InputError(f"{folder} holds none of {', '.join(FILES)}; put it there")
    table = read_table(path)
    customer = column(table, "CustomerID").str.strip().str.removesuffix(".0")
    reasons = {
        "without a customer": customer == "",
        "cancelled, or with a quantity or price that is not positive": ~(
            (numbers(table, "Quantity") > 0) & (numbers(table, "UnitPrice") > 0)
        ),
        "of no product (POST, M, ...)": ~column(table, "StockCode").str.fullmatch(PRODUCT),
    }
    left_out, notes = np.zeros(len(customer), dtype=np.bool_), []
    for reason, wrong in reasons.items():
        new = np.asarray(wrong, dtype=np.bool_) & ~left_out
        left_out |= new
        notes.append(f"{new.sum():,} lines left out: {reason}")
    rows = np.flatnonzero(~left_out)
    if not len(rows):
        raise InputError(f"{path}: none of its {len(customer)} lines is a customer's purchase of a product")
    frame = table.frame.iloc[rows].reset_index(drop=True)
    frame = frame.assign(CustomerID=customer.iloc[rows].to_numpy(), timestamp=_times(table, rows), feedback="purchase")
    below = table.line_of
    log = Table(path, frame, None if below is None else lambda row: below(int(rows[row])))
    return assemble(
        source=str(folder),
        name=folder.resolve().name,
        layout="Online Retail (UCI)",
        items=_items(log),
        log=log,
        item_column="StockCode",
        log_columns=LogColumns(user="CustomerID", item="StockCode", value="Quantity"),
        text_columns=("Description",) if text_columns is None else text_columns,
        notes=notes,
    )


def _times(table: Table, rows: NDArray[np.int64]) -> list[str]:
    """Times as ISO 8601, whichever of its two forms the file has."""
    texts = column(table, "InvoiceDate").iloc[rows]
    read = [pd.to_datetime(texts, format=form, errors="coerce") for form in ("ISO8601", _AMERICAN)]
    times = min(read, key=lambda form: int(form.isna().sum()))
    if times.isna().any():
        row = int(rows[times.isna().to_numpy().argmax()])
        raise InputError(
            f"{table.where(row)}: InvoiceDate {shown(table.frame['InvoiceDate'].iloc[row])}; 2010-12-01 08:26:00 or "
            "12/1/2010 8:26 expected, one of them in the whole file"
        )
    return [time.isoformat() for time in times]


def _items(log: Table) -> Table:
    """One row an item, in the order of first purchase: its code and its most frequent description."""
    frame = pd.DataFrame({"StockCode": log.frame["StockCode"], "Description": column(log, "Description").str.strip()})
    counts = frame[frame["Description"] != ""].value_counts(sort=False).rename("lines").reset_index()
    best = counts.sort_values(["lines", "Description"], ascending=[False, True]).drop_duplicates("StockCode")
    order = pd.DataFrame({"StockCode": frame["StockCode"].drop_duplicates()})
    items = order.merge(best[["StockCode", "Description"]], on="StockCode", how="left").fillna({"Description": ""})
    first = frame["StockCode"].drop_duplicates().index.to_numpy()
    below = log.line_of
    return Table(log.path, items, None if below is None else lambda row: below(int(first[row])))


ONLINE_RETAIL = Layout("Online Retail", "online_retail.csv", lambda folder: find_one(folder, FILES) is not None, _read)
"""The layout of UCI's Online Retail."""
