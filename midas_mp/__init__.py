"""Midas: a distributed executor for Lua."""

__version__ = "0.1.0"
