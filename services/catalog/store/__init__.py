"""Every query of the catalog. Times are judged by the database's clock alone."""
