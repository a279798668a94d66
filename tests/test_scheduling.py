"""How the quick tests are shared out among processes."""

from tests.stack_groups import group_of


def test_modules_that_share_a_stack_run_in_one_process_by_the_models_they_need() -> None:
    real, fake = "tests/integration/test_main_job.py", "tests/integration/test_queue.py"
    assert group_of(real) == group_of("tests/integration/test_openai_chat_models.py")
    assert group_of(fake) == group_of("tests/integration/test_operators.py")
    assert group_of(real) != group_of(fake)


def test_modules_that_share_a_stack_by_another_fixture_run_in_one_process() -> None:
    folder = "tests/integration"
    assert group_of(f"{folder}/test_ollama.py") == group_of(f"{folder}/test_ollama_faults.py")
    door = f"{folder}/openai_door"
    assert group_of(f"{door}/test_own_models.py") == group_of(f"{door}/test_models_of_ollama.py")
    assert group_of(f"{folder}/test_field_sweep.py") == group_of(f"{door}/test_own_models.py")
    assert group_of(f"{folder}/test_page.py") == group_of(f"{folder}/test_page_copies.py")
    assert group_of(f"{folder}/test_page.py") == group_of(f"{folder}/test_page_for_everyone.py")


def test_a_module_with_a_stack_of_its_own_or_none_is_a_group_of_its_own() -> None:
    for module in ("tests/integration/test_page_faults.py", "tests/shared/test_text.py"):
        assert group_of(module) == module
