"""Pretend providers that behave as the real ones document. They share nothing with the code they check: this room
imports core and bodies alone and keeps tables of its own."""
