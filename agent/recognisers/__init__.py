"""The providers of speech recognition, a module each: what its models can do, and its plugin.

`check` refuses, before a job is accepted, what a model cannot do: nobody should find out from the
transcript that it was left out. `build` makes the plugin's STT. No plugin is imported before it is
asked for.
"""
