"""The database: one SQLite file for one machine, PostgreSQL for several; the same tables, migrations and SQL on both.

``database.Database`` opens it and hands out the rest.  ``tables`` says what is kept, ``codec`` how a call becomes text,
``writer`` how many units share one transaction; every other module is one purpose's queries.
"""
