-- A script that does not compile is refused with the place.
--! exit: 1
--! err: syntax_error.lua:5:
function generate_data(
end
