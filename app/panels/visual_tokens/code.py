"""The notebook lines that give the answer on screen again."""

from __future__ import annotations

from app.compute.looking import SHIPPED
from app.panels.visual_tokens import running


def answer_code(call: str) -> str:
    """Lines that ask the same and draw one picture of it."""
    return f"{_answer()}{call}\n"


def _answer() -> str:
    request = running.request_shown()
    if request is None:
        return 'import analysis as an\n\na = an.load_answer("answer.look")  # saved behind File\n'
    return f"{question_code()}a = an.ask(vlm, image, question)\n"


def question_code() -> str:
    """Lines that give the model, the picture and the question."""
    request = running.request_shown()
    if request is None:
        return 'import analysis as an\n\nvlm, image, question = an.load_vision_model(), "picture.png", "what is shown?"\n'
    name = "" if request.model.name == SHIPPED else repr(request.model.name)
    image = '"picture.png"' if request.scene is None else f"an.scene({request.scene}).image"
    return (
        f"import analysis as an\n\nvlm = an.load_vision_model({name})\nimage = {image}\n"
        f"question = {request.question!r}\n"
    )


def pair_code(call: str) -> str:
    """Lines that ask both questions and draw one picture of the answers."""
    return f"{_answer()}b = {_second()}\npair = an.compare_answers(a, b)\n{call}\n"


def _second() -> str:
    """The expression that gives the second answer."""
    request, here = running.second()[1], running.request_shown()
    if request is None:
        return 'an.load_answer("second.look")'
    if here is not None and (request.scene, request.digest) == (here.scene, here.digest):
        return f"an.ask(vlm, image, {request.question!r})"
    model = "vlm" if here is not None else "an.load_vision_model()"
    image = '"second.png"' if request.scene is None else f"an.scene({request.scene}).image"
    return f"an.ask({model}, {image}, {request.question!r})"
