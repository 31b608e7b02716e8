"""The screens of the app, one a module, each imported when it is first shown."""
