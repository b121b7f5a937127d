"""A person makes every mistake: wrong code, wrong password, an expired page; and is told what is wrong, where and what to do."""


def run(browser, asked):
    # A password that is wrong, and a name that nobody has, are told alike.
    said = set()
    for user in (asked["user"], "nobody"):
        browser.open(asked["page"])
        browser.type("User name", user)
        browser.type("Password", "not this one")
        browser.press("Sign in")
        assert browser.title().startswith("Error: "), browser.title()
        said.add(browser.alert())
        assert browser.field("User name").get_attribute("value") == user, "what was typed is kept"
        assert browser.field("Password").get_attribute("value") == "", "but for the password"
    assert len(said) == 1, said

    browser.type("User name", asked["user"])
    browser.type("Password", asked["password"])
    browser.press("Sign in")
    assert browser.heading() == "Connect this device?", "the code survived it all: " + browser.heading()

    for typed, words in (("BCDFG-HJKLM", "No device waits with this code."), ("nonsense!", "A code has ten letters")):
        browser.open(asked["origin"] + "/device")
        browser.type("Code", typed)
        browser.press("Continue")
        assert words in browser.alert(), browser.alert()
        field = browser.field("Code")
        assert field.get_attribute("aria-invalid") == "true", field.get_attribute("outerHTML")
        assert words in browser.description(field), browser.description(field)
        assert browser.focused() == "Code", "the focus is on what is wrong"
    assert browser.title().startswith("Error: "), browser.title()

    # A form that lies open while its session ends leads to signing in and then back to the code.
    browser.open(asked["page"])
    browser.forget()
    browser.press("Approve")
    assert browser.heading() == "Sign in", browser.heading()
    browser.type("User name", asked["user"])
    browser.type("Password", asked["password"])
    browser.press("Sign in")
    assert browser.heading() == "Connect this device?", browser.heading()
    browser.press("Deny")
    assert browser.heading() == "The request was denied", browser.heading()
    browser.open(asked["page"])
    assert browser.heading() == "The request was denied", "a code is answered once: " + browser.heading()
