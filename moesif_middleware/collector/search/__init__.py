"""Search: the compiler from the Elasticsearch-like search DSL to SQL (reference, "Elasticsearch DSL").

``parse_search`` reads a request body, ``run_search`` runs it on an engine: ``sqlite.SQLiteEngine`` or
``clickhouse.ClickHouseEngine``. What is not supported raises ``InvalidSearch`` with the path of the clause.
"""

from __future__ import annotations

from .compiler import MAX_HITS, Search, check_search, count, parse_search, run_search
from .errors import InvalidSearch
from .statement import Engine, Statement
from .times import parse_time, zone_of

__all__ = [
    "MAX_HITS",
    "Engine",
    "InvalidSearch",
    "Search",
    "Statement",
    "check_search",
    "count",
    "parse_search",
    "parse_time",
    "run_search",
    "zone_of",
]
