"""Imageway: a self-hosted gateway for AI image generation."""
