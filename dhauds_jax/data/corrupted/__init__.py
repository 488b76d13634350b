"""Corrupted ("-C") sets on disk: their layouts, writing, reading and verifying them, here or with Apache Beam."""
