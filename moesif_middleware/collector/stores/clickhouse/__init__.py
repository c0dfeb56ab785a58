"""The store for more than one machine: ClickHouse, from version 18.16 on, over plain HTTP."""
