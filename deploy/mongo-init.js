// Makes the one-node replica set, its administrator and Jobwire's account. Run again, it changes
// nothing but the account's password, to what the secret says now.
//
// It speaks to the database over loopback, where a server without accounts lets one be made.

const { readFileSync } = require("node:fs");

const ALREADY_INITIALIZED = 23;
const ADDRESS = process.env.MONGO_ADDRESS ?? "127.0.0.1:27017";
const MEMBER = process.env.MONGO_MEMBER ?? "mongo:27017";
const SECRETS = process.env.MONGO_SECRETS ?? "/run/secrets";

const secret = (name) => readFileSync(`${SECRETS}/${name}`, "utf8").trim();

const admin = connect(`mongodb://${ADDRESS}/admin?directConnection=true`);

function logIn() {
  try {
    return admin.auth("root", secret("mongo-root-password")).ok === 1;
  } catch {
    return false; // no account yet; or another secret, and then the next step is refused
  }
}

function initiate() {
  const set = { _id: "jobwire", members: [{ _id: 0, host: MEMBER }] };
  try {
    admin.runCommand({ replSetInitiate: set });
  } catch (error) {
    if (error.code !== ALREADY_INITIALIZED) throw error;
  }
  while (!admin.hello().isWritablePrimary) sleep(100);
}

function place(database, user, password, roles) {
  const account = { pwd: secret(password), roles };
  if (database.getUser(user)) database.updateUser(user, account);
  else database.createUser({ user, ...account });
}

if (!logIn()) {
  initiate();
  admin.createUser({ user: "root", pwd: secret("mongo-root-password"), roles: ["root"] });
  if (!logIn()) throw new Error("the administrator was made and cannot log in");
}
place(admin.getSiblingDB("jobwire"), "jobwire", "mongo-password", [
  { role: "readWrite", db: "jobwire" },
]);
print("the database is ready");
