"""Logitscope: what a language model knows, attends to, loses and can forget.

Three lines give the numbers behind every page of the app::

    import analysis as an
    model = an.load_model()
    trace = an.trace(model, "Your text.")

Map of the package
------------------
``results``           what a run says, and trace files
``models``            what to load, loading it, its parts
``forward``           one measured pass over a text, and what it will cost
``kv_cache``          a context read once, and what follows it
``token_entropy``     how unsure the model was just before each token
``attention_sinks``   where every head looks, and what happens without it
``entropy_collapse``  what the layers do to a text
``pruning_effects``   what a model can forget, and what it costs
``visual_tokens``     pictures: where a vision-language model looks, and what it could do without
``comparison``        two sides of one thing, token by token
``writing``           what the model writes, and where it could have gone elsewhere
``figures``           every picture, as a function of a result
``reports``           a result as one HTML file
``units``, ``errors``, ``drawing``  nats and bits; problems with a hint; colours and the strip

Names are imported when they are first used, so that a figure needs no torch and a run
needs no plotting library. They are listed in ``__init__.pyi``.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
