"""Lua functions as futures: the executor, its event loop in a thread, clusters for a program."""
