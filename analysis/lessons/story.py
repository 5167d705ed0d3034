"""The text that lessons measure, and every page opens with."""

STORY = """\
Mira unlocked the small library at eight, lit the lamp by the door, and found the same grey cat asleep on the atlas. \
Nobody had ever seen it come in. She carried it to the window, as she did every morning, and opened the notebook where \
the returned books were counted:

returned = [12, 7, 9]
total = sum(returned)
print("books back:", total)

Since 12 plus 7 plus 9 is 28, and the shelf by the stairs holds 30, two places would stay empty. She wrote the number \
down, closed the notebook, and looked up. The cat was asleep on the atlas again.
"""
