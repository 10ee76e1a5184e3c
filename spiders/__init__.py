"""The crawlers: one short file per kind of source, and what keeps them polite. config.yaml's `type` names a file here."""
