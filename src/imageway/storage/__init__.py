"""Where durable things live: tables on memory, SQLite or PostgreSQL, images in a directory."""
