-- The functions that Python calls: bytes and numbers in, bytes and numbers out.
--
-- All that can run a script's code return (kind, output bytes, text, more).  kind is nil when it
-- went well, `text` the answer, and `more` where the buffers beside it are; else `text` is the
-- message and `more` the traceback.  Where those of a payload are is told by `places`; what both
-- look like is the engine's matter: see luajit_incoming.lua, luajit_outgoing.lua and plain_array.lua.
local settings, arrays, writer, reader, explain, failure, environment, output, seed, libraries,
  shared, engine = ...
local error, next, rawget, rawset, setmetatable = error, next, rawget, rawset, setmetatable
local type, pcall, xpcall, load = type, pcall, xpcall, load
local bind, unpack = engine.bind, engine.unpack
local encode, REFUSED = writer.encode, writer.REFUSED
local decode, next_value = reader.decode, reader.take
local start_results, add_result = writer.start, writer.add
local format, concat, find = string.format, table.concat, string.find

local CONTRACT = { "generate_data", "execute_code", "interpret_results", "generate_shared_data",
  "on_result", "next_round" }
local RETURNED = "function" -- the entry that is no name: what the main chunk returns
local ARGUMENTS = 1 -- a form of call, as in wire/messages.py
local OUT_OF_MEMORY = "not enough memory" -- the engine's own words, raised past every handler

local bundles = {}
local results, about_results, errors

-- results.n is answered, but pairs finds only what tasks returned.
local function empty_results()
  about_results = {}
  results = setmetatable({}, { __index = about_results, __metatable = false })
  errors = {}
end

empty_results()

-- What is going on, for whoever has to explain why it failed.
local phase, where, entry, entry_function, sending = "", "", "", nil, nil
local trace = ""
local places -- of the buffers beside the payload of this call

-- -- failures -------------------------------------------------------------------------------------

-- Runs where the error was raised: the stack is still there to be read.
local function handle(e)
  if phase == "decode" or phase == "encode" or phase == "missing" then return e end
  trace = failure.traceback(3, entry, entry_function)
  return failure.describe(e)
end

local function report(e)
  if e == OUT_OF_MEMORY and trace == "" then return "memory", e, "" end
  if phase == "missing" then return "missing_function", e, "" end
  if e == REFUSED then return "unsendable", explain(sending, where), "" end
  if type(e) == "table" then return "unsendable", where .. ": " .. e.refused, "" end
  return "runtime", e, trace
end

-- Runs `f` as the script's code is always run: nothing that it does gets past this function.
local function protect(f, ...)
  trace, sending, entry_function = "", nil, nil
  libraries.reset()
  writer.forget()
  local ok, text, more = xpcall(f, handle, ...)
  output.leave()
  if ok then return nil, output.bytes(), text, more end
  writer.drop()
  local kind
  kind, text, more = report(text)
  return kind, output.bytes(), text, more
end

-- -- the steps of a call --------------------------------------------------------------------------

local function send(value, place)
  phase, where, sending = "encode", place, value
  return encode(value)
end

local function receive(payload, place)
  phase, where = "decode", place
  return decode(payload, places)
end

local function run_main(bundle, env)
  phase, entry = "main", ""
  if bundle.may_draw then seed("", 0, 0) end
  bind(bundle.main, env)
  return (bundle.main(unpack(settings.arg)))
end

-- Tables that are made in the size they will need have the same shape for every task.
local function learn_size(bundle, env)
  local n = 0
  for _ in next, env do n = n + 1 end
  bundle.global_count = n + 1
end

-- Returns what the main chunk returned, too.
local function worker_environment(bundle)
  local env, returned
  if settings.isolate then
    env = environment.fresh(bundle)
    returned = run_main(bundle, env)
    if bundle.global_count == 0 then learn_size(bundle, env) end
    return env, returned
  end
  env = environment.kept(bundle)
  if not bundle.is_started then
    bundle.returned = run_main(bundle, env)
    bundle.is_started = true
  end
  return env, bundle.returned
end

local function find_returned(bundle, f)
  if type(f) ~= "function" then
    phase = "missing"
    error(format("%s returns a %s, no function", bundle.name, type(f)), 0)
  end
  phase, entry, entry_function = "run", "", f
  return f
end

local function find_function(bundle, env, name, returned)
  if name == RETURNED then return find_returned(bundle, returned) end
  local f = rawget(env, name)
  if type(f) ~= "function" then
    phase = "missing"
    error(format("%s defines no function %s", bundle.name, name), 0)
  end
  phase, entry, entry_function = "run", name, f
  return f
end

local function run_task(bundle, name, place, index, round, payload)
  local env = worker_environment(bundle)
  if payload or places then rawset(env, "global_data", receive(payload, "global_data")) end
  local data = shared.value(round)
  if data ~= nil then rawset(env, "shared_data", data) end
  local f = find_function(bundle, env, name)
  seed(name, round, index)
  return send(f(), place)
end

-- Returns them in a table, and how many they are: nil may be among them.
local function receive_arguments(payload)
  phase, where = "decode", "arguments"
  local values, count = {}, reader.open(payload, places)
  for i = 1, count do values[i] = next_value() end
  reader.close()
  return values, count
end

local function run_function(bundle, name, place, index, round, payload)
  local env, returned = worker_environment(bundle)
  local values, count = receive_arguments(payload)
  local f = find_function(bundle, env, name, returned)
  if bundle.may_draw then seed(name, round, index) end
  return send(f(unpack(values, 1, count)), place)
end

local items_done = 0 -- of the batch that runs

-- Each item has a random stream of its own, wherever batches were cut.  Seeding costs as much as a
-- small call, so it is left out where no source has a word of it.
local function begin_item(bundle, name, round, index)
  environment.set_index(index)
  if bundle.may_draw then seed(name, round, index) end
end

local function run_batch(bundle, name, place, _, round, payload)
  items_done = 0
  start_results()
  local env, returned = worker_environment(bundle)
  phase, where = "decode", "arguments"
  local count = reader.open(payload, places) - 2
  local arity, first = next_value(), next_value()
  if type(arity) ~= "number" or arity < 1 or arity % 1 ~= 0 or type(first) ~= "number" then
    error({ refused = "a batch begins with two numbers" }, 0)
  end
  local f = find_function(bundle, env, name, returned)
  local last = count / arity - 1
  for item = 0, last do
    phase, where = "decode", "arguments"
    local result
    begin_item(bundle, name, round, first + item)
    if arity == 1 then
      local value = next_value()
      phase = "run"
      result = f(value)
    elseif arity == 2 then
      local one, two = next_value(), next_value()
      phase = "run"
      result = f(one, two)
    else
      local values = {}
      for i = 1, arity do values[i] = next_value() end
      phase = "run"
      result = f(unpack(values, 1, arity))
    end
    phase, where, sending = "encode", place, result
    add_result(result, item == last)
    items_done = item + 1
  end
  phase, where = "decode", "arguments"
  reader.close()
end

local function run_step(bundle, name, place, index, round, count)
  local f = find_function(bundle, environment.kept(bundle), name)
  seed(name, round, index)
  return send(f(index, count), place)
end

local function run_generate_shared(bundle, name, place, _, round)
  local env = environment.kept(bundle)
  local f = find_function(bundle, env, name)
  seed(name, round, 0)
  local value = f()
  rawset(env, "shared_data", value)
  return send(value, place)
end

local function result_place(index)
  return format("results[%d]", index + 1)
end

local function run_on_result(bundle, name, place, index, round, _, payload)
  local result = receive(payload, result_place(index))
  local f = find_function(bundle, environment.kept(bundle), name)
  seed(name, round, index)
  local kept = f(index, result)
  rawset(results, index + 1, kept)
  return send(nil, place)
end

local function show_results(bundle, count)
  local env = environment.kept(bundle)
  about_results.n = count
  rawset(env, "results", results)
  rawset(env, "errors", errors)
  return env
end

local function run_next_round(bundle, name, place, _, round, count)
  local env = show_results(bundle, count)
  local f = find_function(bundle, env, name)
  seed(name, round, 0)
  local goes_on = f(round) and true or false
  if goes_on then
    empty_results()
    rawset(env, "results", results)
    rawset(env, "errors", errors)
  end
  return send(goes_on, place)
end

local function run_interpret(bundle, name, place, _, round, count)
  local f = find_function(bundle, show_results(bundle, count), name)
  seed(name, round, 0)
  local answer = f()
  local kind = arrays.kind_of(answer) and "typed array" or type(answer)
  if kind ~= "string" and kind ~= "number" and kind ~= "nil" then
    phase, where = "decode", place
    error({ refused = "a " .. kind .. " cannot be printed: return a string or a number" }, 0)
  end
  return send(answer, place)
end

local DRIVER_STEPS = {
  generate_shared_data = run_generate_shared, on_result = run_on_result,
  next_round = run_next_round, interpret_results = run_interpret,
}

local function run_start(bundle)
  local env = environment.kept(bundle)
  run_main(bundle, env)
  local names = {}
  for _, name in next, CONTRACT do
    if type(rawget(env, name)) == "function" then names[#names + 1] = name end
  end
  return concat(names, " "), send(rawget(env, "config"), "config")
end

-- -- the doors ------------------------------------------------------------------------------------

local doors = {}

-- Returns a message when the source cannot be compiled.  An empty module name is the main file.
function doors.compile(slot, name, module, chunk_name, source)
  local chunk, message = load(source, "@" .. chunk_name, "t", {})
  if not chunk then return failure.describe(message) end
  local bundle = bundles[slot]
  if not bundle then
    bundle = { name = name, modules = {}, global_count = 0, is_started = false, places = {} }
    bundles[slot] = bundle
  end
  -- Seeding takes longer than a short call: it is left out where nothing can draw.
  if find(source, "random", 1, true) or find(source, "load", 1, true) then bundle.may_draw = true end
  if module == "" then bundle.main = chunk else bundle.modules[module] = chunk end
  return nil
end

function doors.unload(slot)
  bundles[slot] = nil
end

local function place_of(bundle, name)
  local place = bundle.places[name]
  if not place then
    place = name == RETURNED and "result" or name .. "() result"
    bundle.places[name] = place
  end
  return place
end

-- Nothing that a task received, or made in shared memory, outlives it.
local function end_task(...)
  places = nil
  arrays.end_task()
  return ...
end

function doors.call(slot, name, index, count, round, attempt, payload, form, new_places)
  local bundle = bundles[slot]
  places = new_places
  output.enter(round, index)
  environment.set_context(bundle, index, count, round, attempt)
  local place = place_of(bundle, name)
  if settings.is_driver then
    local step = DRIVER_STEPS[name] or run_step
    return end_task(protect(step, bundle, name, place, index, round, count, payload))
  end
  local run = form == ARGUMENTS and run_function or run_task
  return end_task(protect(run, bundle, name, place, index, round, payload))
end

-- Returns (nil, output bytes, results, places) or (kind, output bytes, message, traceback, how many
-- items were done, their results, places).
function doors.batch(slot, name, index, count, round, attempt, payload, new_places)
  local bundle = bundles[slot]
  places = new_places
  output.enter(round, index)
  environment.set_context(bundle, index, count, round, attempt)
  local kind, bytes, text, more =
    protect(run_batch, bundle, name, place_of(bundle, name), index, round, payload)
  if kind == nil then return end_task(nil, bytes, writer.finish()) end
  if kind == "memory" then return end_task(kind, bytes, text, more) end
  return end_task(kind, bytes, text, more, items_done, writer.finish())
end

function doors.start(slot)
  output.enter(0, 0)
  environment.set_context(bundles[slot], 0, 0, 0, 0)
  return protect(run_start, bundles[slot])
end

function doors.config_after_failure(slot)
  return protect(function()
    return send(rawget(environment.kept(bundles[slot]), "config"), "config")
  end)
end

function doors.store(index, payload, new_places)
  places = new_places
  return end_task(protect(function()
    rawset(results, index + 1, receive(payload, result_place(index)))
  end))
end

-- Without a payload: what the last round shared is forgotten, wherever it is still seen.
function doors.share(round, payload, new_places)
  shared.put(nil, nil)
  arrays.forget_shared()
  if not payload and not new_places then
    for _, bundle in next, bundles do environment.forget_global(bundle, "shared_data") end
    return nil, output.bytes()
  end
  places = new_places
  return end_task(protect(function()
    shared.put(round, receive(payload, "shared_data"))
    arrays.keep_received()
  end))
end

function doors.watch_shared()
  return protect(shared.watch)
end

doors.check_shared = shared.check

-- When no call follows soon: returns the output bytes.
function doors.tell_dropped()
  pcall(output.tell_dropped) -- without memory nobody is told
  return output.bytes()
end

-- Before a collection: nothing that the last call made is held here any more.
function doors.forget()
  sending, entry_function = nil, nil
  writer.forget()
  environment.forget(bundles)
end

function doors.store_error(index, message)
  rawset(errors, index + 1, message)
end

return doors
