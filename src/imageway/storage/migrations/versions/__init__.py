"""One module per step from one shape of the tables to the next. A step that was released is never edited."""
