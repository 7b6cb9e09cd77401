r"""Schema: public knowledge about the columns of a private table.

Bounds and categories decide how a table is read, so they must not be read off the private table
itself: a schema is written down, or inferred from public rows. Everything that reads a private
table here works cell by cell and is total: a cell's code is a function of that cell and of the
schema, whatever the type of the array that holds it, and no cell decides whether an exception is
raised. Replacing a record therefore changes its own row of codes and nothing else.
"""

from skdistill.schema.column import Column
from skdistill.schema.schema import Schema, as_schema

__all__ = ["Column", "Schema", "as_schema"]
