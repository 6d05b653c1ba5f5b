"""Workspaces, wallets, keys, holds and usage: the rules of money as ops, and the questions about them. No SQL here."""
