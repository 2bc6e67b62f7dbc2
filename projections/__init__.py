"""PostgreSQL: schema, migrations, one transaction, one module for each question asked."""
