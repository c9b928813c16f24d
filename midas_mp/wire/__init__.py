"""Floor 0, the words: typed messages, framing, one peer's conversation.  Bytes in, objects out."""
