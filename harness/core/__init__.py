"""To change where files go, open `workspace`; an error, `errors`; an example, `example`; a database, `database_urls`.

What everything stands on, with digests, provenance and the base of YAML sections.
"""
