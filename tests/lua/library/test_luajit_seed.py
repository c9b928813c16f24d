import statistics

DRAWS = "function execute_code() return {math.random(), math.random(), math.random(2^31)} end\n"
BOTH = DRAWS + "generate_data = execute_code"


def test_the_same_task_draws_the_same_wherever_it_runs(script):
    one, other = script(DRAWS), script(DRAWS)
    assert other.call(index=5) != (first := one.call(index=7))
    assert [other.call(index=7), one.call(index=7, attempt=3)] == [first, first]


def test_seed_round_index_and_function_each_make_another_stream(script):
    state, other = script(BOTH), script(BOTH, seed=1)
    draws = [
        state.call(),
        state.call(index=1),
        state.call(round=1),
        state.call("generate_data"),
        state.call(index=2**32),
        other.call(),
        state.call(index=2**32, round=2**32),
    ]
    assert len({tuple(d) for d in draws}) == len(draws)


def test_any_integer_is_a_seed(script):
    draws = {tuple(script(DRAWS, seed=s).call()) for s in (-1, 1, 2**64 + 1, -(2**70))}
    assert len(draws) == 4


def test_neighbouring_indices_are_independent(script):
    state = script("function execute_code() return {math.random(), math.random()} end")
    pairs = [state.call(index=i) for i in range(4000)]
    first = [a for a, _ in pairs]
    assert len(set(first)) == len(first)
    assert abs(statistics.mean(first) - 0.5) < 0.02
    assert abs(statistics.variance(first) - 1 / 12) < 0.005
    assert abs(statistics.correlation(first[:-1], first[1:])) < 0.06
    assert abs(statistics.correlation(first, [b for _, b in pairs])) < 0.06
    buckets = [0] * 16
    for x in first:
        buckets[int(x * 16)] += 1
    assert sum((n - 250) ** 2 / 250 for n in buckets) < 45  # chi square, 15 degrees: p < 0.0001


def test_a_script_may_seed_for_itself(task):
    assert (
        task(
            "math.randomseed(1) local a = math.random()\n"
            "math.randomseed(1) return a == math.random()"
        )
        is True
    )


def test_the_top_level_draws_the_same_everywhere(script):
    state = script("local top = math.random() function execute_code() return top end")
    assert state.call(index=1) == state.call(index=2)
    assert script("top = math.random() function execute_code() return top end").call() == (
        state.call(index=1)
    )
