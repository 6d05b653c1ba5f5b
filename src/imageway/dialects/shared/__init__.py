"""What every dialect reads and writes alike: single values, images, conversations, field tables, findings, and those
parts of answers that are the same in all. It names no dialect."""
