from hypothesis import settings

# Examples are checked for what they show, not for how long a busy machine takes over them.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
