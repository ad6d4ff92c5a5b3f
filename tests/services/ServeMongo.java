import de.bwaldvogel.mongo.MongoCollection;
import de.bwaldvogel.mongo.MongoDatabase;
import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.CollectionOptions;
import de.bwaldvogel.mongo.backend.DatabaseResolver;
import de.bwaldvogel.mongo.backend.Index;
import de.bwaldvogel.mongo.backend.IndexKey;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.backend.h2.H2Database;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.oplog.Oplog;
import io.netty.channel.Channel;
import java.util.List;
import org.h2.mvstore.MVMap;

/**
 * Serves the MongoDB protocol on a loopback port: {@code ServeMongo PORT [FILE]}; without a file it forgets.
 *
 * <p>The library speaks the protocol and evaluates queries. Storage and indexes are ours: the library's own scan
 * for every query but one by a unique key, and serialise Java objects for each comparison of two keys on disk.
 */
public final class ServeMongo {
    /** What follows the condition when a client counts documents. */
    private static final Document COUNT =
            new Document("$group", new Document("_id", 1).append("n", new Document("$sum", 1)));

    /** The library announces a wire version that today's clients refuse; it speaks enough of this one. */
    private static final class Announced implements MongoVersion {
        @Override
        public List<Integer> getVersionArray() {
            return List.of(4, 4, 0);
        }

        @Override
        public int getWireVersion() {
            return 9;
        }
    }

    /** The library's store, in a file or (null) in memory, with our collections in it. */
    private static final class Backend extends H2Backend {
        Backend(String file) {
            super(file);
        }

        @Override
        protected MongoDatabase openOrCreateDatabase(String name) {
            return new Database(name);
        }

        /** Opens what the file holds while its parent is constructed, so it must not have fields of its own. */
        private final class Database extends H2Database {
            Database(String name) {
                super(name, getMvStore(), getCursorRegistry());
            }

            @Override
            protected MongoCollection<Object> openOrCreateCollection(String name, CollectionOptions options) {
                return new PackedCollection(this, name, options, cursorRegistry, documentsOf(name));
            }

            @Override
            protected Index<Object> openOrCreateUniqueIndex(
                    String collection, String name, List<IndexKey> keys, boolean sparse) {
                return keys.size() == 1 && keys.get(0).getKey().equals("_id")
                        ? new IdIndex(name, keys, documentsOf(collection))
                        : super.openOrCreateUniqueIndex(collection, name, keys, sparse);
            }

            @Override
            protected Index<Object> openOrCreateSecondaryIndex(
                    String collection, String name, List<IndexKey> keys, boolean sparse) {
                // A number in a path may mean a place in an array, which only the library's scan understands.
                return keys.get(0).getKey().matches("(.*\\.)?\\d+(\\..*)?")
                        ? super.openOrCreateSecondaryIndex(collection, name, keys, sparse)
                        : new HashIndex(name, keys);
            }

            /** Answers a client's count without reading every document, as the library would. */
            @Override
            public Document handleCommand(
                    Channel channel, String command, Document query, DatabaseResolver databases, Oplog oplog) {
                Document condition = command.equals("aggregate") ? conditionOfCount(query.get("pipeline")) : null;
                MongoCollection<Object> collection =
                        condition == null ? null : resolveCollection(query.get(command).toString(), false);
                if (collection == null) {
                    return super.handleCommand(channel, command, query, databases, oplog);
                }
                int count = collection.count(condition, 0, 0);
                Document group = new Document("_id", 1).append("n", count);
                Document cursor = new Document("id", 0L)
                        .append("ns", collection.getFullName())
                        .append("firstBatch", count == 0 ? List.of() : List.of(group));
                return new Document("cursor", cursor).append("ok", 1.0);
            }

            /** What is counted, if an aggregation does nothing but count; otherwise null. */
            private Document conditionOfCount(Object pipeline) {
                return pipeline instanceof List<?> stages
                                && stages.size() == 2
                                && stages.get(0) instanceof Document first
                                && first.get("$match") instanceof Document condition
                                && stages.get(1).equals(COUNT)
                        ? condition
                        : null;
            }

            /** The parent drops and renames maps by these names. A map is opened once and then shared. */
            private MVMap<Object, byte[]> documentsOf(String collection) {
                return getMvStore().openMap("databases." + getFullCollectionNamespace(collection));
            }
        }
    }

    public static void main(String[] arguments) throws InterruptedException {
        Backend backend = new Backend(arguments.length > 1 ? arguments[1] : null);
        backend.version(new Announced());
        MongoServer server = new MongoServer(backend);
        server.bind("127.0.0.1", Integer.parseInt(arguments[0]));
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));
        Thread.currentThread().join();
    }
}
