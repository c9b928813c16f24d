"""Lua: sources that travel (``bundle``), states that run them (``runtime``), what they print
(``output``).  Only ``engines`` imports lupa.
"""
