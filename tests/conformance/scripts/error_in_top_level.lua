-- An error at the top level ends the job before any task.
--! exit: 1
--! err: top level breaks
error("top level breaks")
