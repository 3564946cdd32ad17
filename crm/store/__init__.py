"""PostgreSQL: tables, one repository a table. SQL is spoken here and nowhere else."""
