-- expect: missing_function defines no function execute_code
execute_code = midas.array("int8", 3)
