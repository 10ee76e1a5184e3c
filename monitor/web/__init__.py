"""The pages: what the store knows, for a reader in a browser. A Datasette application with our own pages before its tables.

The promises: read-only but for a correction that a signed-in operator makes; nothing is loaded from elsewhere; no page
tells a figure without its n and interval, nor one of fewer people than `privacy.min_authors`; a post's words are text,
never markup. On another address than loopback only our pages are there: tables and SQL are for a published snapshot.
"""
