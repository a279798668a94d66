"""STUB"""
from shared.vocabulary import Task
PROMPTS = {t: f"{t} please" for t in Task}
def stricter(task, prompt): return prompt + " ONLY"
